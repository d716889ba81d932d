# Installation, and the package that find_package(lockstep CONFIG) and pkg-config read.
include(CMakePackageConfigHelpers)

# Everything as one target: lockstep::lockstep.
get_property(libraries GLOBAL PROPERTY LOCKSTEP_LIBRARIES)
add_library(lockstep_all INTERFACE)
set_target_properties(lockstep_all PROPERTIES EXPORT_NAME lockstep)
# cairo is found by our own module, whose target is not exported: the installed package names it.
target_link_libraries(lockstep_all INTERFACE ${libraries} $<INSTALL_INTERFACE:cairo>)
add_library(lockstep::lockstep ALIAS lockstep_all)

foreach(library IN LISTS libraries)
  string(REPLACE lockstep_ "" short ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${short})
endforeach()
install(TARGETS lockstep_all ${libraries} EXPORT lockstepTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET lockstep)
  install(TARGETS lockstep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# Headers keep the tree's paths below include/lockstep. What only one library sees stays at home:
# implementations of a device and headers named *_internal.h.
foreach(folder kernels engine comm data models tools lockstep)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lockstep
          FILES_MATCHING PATTERN "*.h" PATTERN "*_internal.h" EXCLUDE
          REGEX "/kernels/(cpu|cuda)(/|$)" EXCLUDE)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lockstep)
install(EXPORT lockstepTargets NAMESPACE lockstep:: DESTINATION ${package_dir})
configure_package_config_file(cmake/lockstepConfig.cmake.in lockstepConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(lockstepConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lockstepConfig.cmake
              ${PROJECT_BINARY_DIR}/lockstepConfigVersion.cmake DESTINATION ${package_dir})

# pkg-config: the static libraries from the right of the arrow to the left.
set(LOCKSTEP_PC_LIBS "")
foreach(library IN LISTS libraries)
  string(PREPEND LOCKSTEP_PC_LIBS "-l${library} ")
endforeach()
get_property(mpi GLOBAL PROPERTY LOCKSTEP_MPI_LIBRARIES)
list(JOIN mpi " " LOCKSTEP_PC_MPI)
set(LOCKSTEP_PC_CUDA "")
if(LOCKSTEP_WITH_CUDA)
  set(LOCKSTEP_PC_CUDA "-L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt -ldl")
endif()
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH LOCKSTEP_PC_TO_PREFIX /prefix/${pc_dir} /prefix)
configure_file(cmake/lockstep.pc.in lockstep.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lockstep.pc DESTINATION ${pc_dir})
