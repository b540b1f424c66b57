# CUDA is optional when building and found when running. DESKHAND_CUDA=ON (preset `cuda`) needs the toolkit, 12.0 or newer.
add_library(deskhand_cuda INTERFACE)
if(DESKHAND_CUDA)
  find_package(CUDAToolkit 12 REQUIRED)
  target_link_libraries(deskhand_cuda INTERFACE CUDA::cudart_static)
  target_compile_definitions(deskhand_cuda INTERFACE DESKHAND_CUDA=1)
endif()
