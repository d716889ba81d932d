# Decides whether the CUDA backend is built (LOCKSTEP_WITH_CUDA) and enables the language. To be
# included before the first add_library: CMake fixes a target's architectures when it is made.
set(LOCKSTEP_CUDA AUTO CACHE STRING "The CUDA backend: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE LOCKSTEP_CUDA PROPERTY STRINGS AUTO ON OFF)
set(LOCKSTEP_CUDA_ARCHITECTURES 90 CACHE STRING
    "GPU architectures to compile for, as CMAKE_CUDA_ARCHITECTURES takes them")

set(LOCKSTEP_WITH_CUDA OFF)
if(LOCKSTEP_SANITIZE)
  # nvcc and -fsanitize do not go together; what the kernels compute is tested on the host there.
  if(LOCKSTEP_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LOCKSTEP_CUDA=ON and LOCKSTEP_SANITIZE=${LOCKSTEP_SANITIZE} do not go "
                        "together; leave one of them out")
  endif()
elseif(LOCKSTEP_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(LOCKSTEP_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda
                 PATH_SUFFIXES bin)
    mark_as_advanced(LOCKSTEP_NVCC)
    if(LOCKSTEP_NVCC)
      set(CMAKE_CUDA_COMPILER ${LOCKSTEP_NVCC})
    endif()
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${LOCKSTEP_CUDA_ARCHITECTURES})
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know it of nvcc
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit 13 REQUIRED)
    find_package(NCCL)
    set(LOCKSTEP_WITH_CUDA ON)
  elseif(NOT LOCKSTEP_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "LOCKSTEP_CUDA=${LOCKSTEP_CUDA}, but no nvcc works here; set CUDACXX to it "
                        "or leave LOCKSTEP_CUDA at AUTO")
  endif()
endif()
message(STATUS "CUDA backend: ${LOCKSTEP_WITH_CUDA}")
