# The header of NCCL, which lies in a CUDA toolkit's folder or in the system's and brings no CMake
# package. The library is opened when it is needed, not linked.
#
#   NCCL_FOUND, NCCL_VERSION ("2.28.9"), NCCL_INCLUDE_DIR
find_path(NCCL_INCLUDE_DIR nccl.h
          HINTS ${CUDAToolkit_INCLUDE_DIRS} ENV CUDA_HOME ENV NCCL_HOME PATH_SUFFIXES include)
mark_as_advanced(NCCL_INCLUDE_DIR)
set(NCCL_VERSION "")
if(NCCL_INCLUDE_DIR)
  file(STRINGS ${NCCL_INCLUDE_DIR}/nccl.h lines REGEX "^#define NCCL_(MAJOR|MINOR|PATCH) +[0-9]+")
  string(REGEX REPLACE "[^0-9;]" "" numbers "${lines}")
  string(REPLACE ";" "." NCCL_VERSION "${numbers}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION)
