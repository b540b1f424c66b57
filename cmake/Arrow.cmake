# Apache Arrow and Parquet for metadata.parquet: Debian 12 has neither, the pyarrow wheel (wheels.txt) carries both with their headers.
# Without the wheel everything else works and Parquet files can neither be written nor read: the command says so.
add_library(deskhand_arrow INTERFACE)
set(root ${DESKHAND_DEPS}/pyarrow)
file(GLOB arrow ${root}/libarrow.so.*)
file(GLOB parquet ${root}/libparquet.so.*)
if(arrow AND parquet)
  target_include_directories(deskhand_arrow SYSTEM INTERFACE ${root}/include)
  target_link_libraries(deskhand_arrow INTERFACE ${parquet} ${arrow})
  target_compile_definitions(deskhand_arrow INTERFACE DESKHAND_PARQUET=1)
  # libparquet exports an OpenSSL of its own. The system's must come first in the order of loading, or its parts are bound to those of
  # another version and the first HTTPS connection crashes.
  target_link_options(deskhand_arrow INTERFACE "LINKER:--push-state,--no-as-needed,-lssl,-lcrypto,--pop-state")
  set(CMAKE_BUILD_RPATH ${root})
  set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib/deskhand")
else()
  message(STATUS "Parquet: not found under ${root}; ./setup brings it")
endif()
