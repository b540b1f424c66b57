# CUDA is optional when building and found when running. DESKHAND_CUDA=ON (preset `cuda`) needs the toolkit, 12.0 or newer; at run time the
# driver and libcublasLt. CMAKE_CUDA_ARCHITECTURES chooses the cards: 80 is the oldest that the kernels know.
add_library(deskhand_cuda INTERFACE)
if(DESKHAND_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
  endif()
  if(CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
  endif()
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)   # CMake 3.25 does not know that nvcc speaks C++20
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda;-Xcompiler=-Wall;-DFMT_USE_CONSTEXPR=1>")   # fmt 9 asks nvcc for consteval without constexpr
  find_package(CUDAToolkit 12 REQUIRED)
  target_link_libraries(deskhand_cuda INTERFACE CUDA::cudart_static CUDA::cublasLt)
  target_include_directories(deskhand_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  # What needs the instructions of one generation alone is an object library for it; its kernels are started on such a card only.
  function(deskhand_hopper room)
    add_library(deskhand_${room}_hopper OBJECT ${ARGN})
    set_target_properties(deskhand_${room}_hopper PROPERTIES CUDA_ARCHITECTURES 90a)
    target_link_libraries(deskhand_${room}_hopper PRIVATE deskhand_cuda fmt::fmt)
    target_sources(deskhand_${room} PRIVATE $<TARGET_OBJECTS:deskhand_${room}_hopper>)
  endfunction()
  target_compile_definitions(deskhand_cuda INTERFACE DESKHAND_CUDA=1)
endif()
