# find_package(prunesid CONFIG): prunesid::prunesid, the header and what it links; and
# prunesid::library if it was built.
include(${CMAKE_CURRENT_LIST_DIR}/prunesid-blas.cmake)
if(NOT prunesid_blas_missing STREQUAL "")
    set(prunesid_FOUND FALSE)
    set(prunesid_NOT_FOUND_MESSAGE "${prunesid_blas_missing}")
    return()
endif()
include(${CMAKE_CURRENT_LIST_DIR}/prunesid-targets.cmake)
