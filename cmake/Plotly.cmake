# Plotly.js for the report's interactive charts: the Python wheel (wheels.txt) carries its one file and licence. Without the wheel reports
# show the static drawings alone, and say so.
set(plotly_files "")
file(GLOB plotly_licence ${DESKHAND_DEPS}/plotly-*.dist-info/licenses/LICENSE.txt)
if(EXISTS ${DESKHAND_DEPS}/plotly/package_data/plotly.min.js AND plotly_licence)
  foreach(file ${DESKHAND_DEPS}/plotly/package_data/plotly.min.js ${plotly_licence})
    file(RELATIVE_PATH file ${CMAKE_SOURCE_DIR} ${file})
    list(APPEND plotly_files ${file})
  endforeach()
else()
  message(STATUS "Plotly.js: not found under ${DESKHAND_DEPS}; ./setup brings it")
endif()
