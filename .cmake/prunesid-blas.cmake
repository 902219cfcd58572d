# Finds OpenBLAS and LAPACKE and makes the imported target prunesid::blas of them, for the build
# and for the installed package alike; a prunesid::blas that is there already is left as it is.
# prunesid_blas_missing says what was not found ("" if all was). PRUNESID_BLAS_LIBRARIES and
# PRUNESID_LAPACKE_LIBRARIES override the search; CMake's own CMAKE_PREFIX_PATH directs it.
# pkg-config is asked for folders to try last, and for what archives need.

set(prunesid_blas_missing "")
if(TARGET prunesid::blas)
    return()
endif()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(PRUNESID_PC_OPENBLAS QUIET openblas)
    pkg_check_modules(PRUNESID_PC_LAPACKE QUIET lapacke)
endif()

find_path(PRUNESID_CBLAS_INCLUDE_DIR cblas.h
    PATHS ${PRUNESID_PC_OPENBLAS_INCLUDE_DIRS}
    PATH_SUFFIXES openblas
    DOC "The folder of cblas.h")
find_path(PRUNESID_LAPACKE_INCLUDE_DIR lapacke.h
    PATHS ${PRUNESID_PC_LAPACKE_INCLUDE_DIRS} ${PRUNESID_PC_OPENBLAS_INCLUDE_DIRS}
    PATH_SUFFIXES lapacke openblas
    DOC "The folder of lapacke.h")
if(NOT PRUNESID_BLAS_LIBRARIES)
    find_library(PRUNESID_OPENBLAS_LIBRARY openblas PATHS ${PRUNESID_PC_OPENBLAS_LIBRARY_DIRS})
    if(PRUNESID_OPENBLAS_LIBRARY)
        set(PRUNESID_BLAS_LIBRARIES ${PRUNESID_OPENBLAS_LIBRARY} CACHE STRING
            "Libraries that hold CBLAS and LAPACK")
    endif()
endif()
if(NOT PRUNESID_LAPACKE_LIBRARIES)
    find_library(PRUNESID_LAPACKE_LIBRARY lapacke PATHS ${PRUNESID_PC_LAPACKE_LIBRARY_DIRS})
    if(PRUNESID_LAPACKE_LIBRARY)
        set(PRUNESID_LAPACKE_LIBRARIES ${PRUNESID_LAPACKE_LIBRARY} CACHE STRING
            "Libraries that hold LAPACKE; the BLAS itself if it brings LAPACKE")
    elseif(PRUNESID_BLAS_LIBRARIES)
        # OpenBLAS as its authors build it holds LAPACKE too; Debian's does not.
        include(CheckFunctionExists)
        set(CMAKE_REQUIRED_LIBRARIES ${PRUNESID_BLAS_LIBRARIES} m)
        check_function_exists(LAPACKE_dsytrd_work PRUNESID_BLAS_HAS_LAPACKE)
        unset(CMAKE_REQUIRED_LIBRARIES)
        if(PRUNESID_BLAS_HAS_LAPACKE)
            set(PRUNESID_LAPACKE_LIBRARIES ${PRUNESID_BLAS_LIBRARIES} CACHE STRING
                "Libraries that hold LAPACKE; the BLAS itself if it brings LAPACKE")
        endif()
    endif()
endif()
mark_as_advanced(PRUNESID_CBLAS_INCLUDE_DIR PRUNESID_LAPACKE_INCLUDE_DIR PRUNESID_OPENBLAS_LIBRARY
    PRUNESID_LAPACKE_LIBRARY)

if(NOT PRUNESID_BLAS_LIBRARIES)
    string(APPEND prunesid_blas_missing
        "OpenBLAS was not found: install Debian's libopenblas-dev or set PRUNESID_BLAS_LIBRARIES. ")
endif()
if(NOT PRUNESID_CBLAS_INCLUDE_DIR)
    string(APPEND prunesid_blas_missing
        "cblas.h was not found: install Debian's libopenblas-dev or set "
        "PRUNESID_CBLAS_INCLUDE_DIR. ")
endif()
if(NOT PRUNESID_LAPACKE_LIBRARIES)
    string(APPEND prunesid_blas_missing
        "LAPACKE was not found: install Debian's liblapacke-dev or set "
        "PRUNESID_LAPACKE_LIBRARIES. ")
endif()
if(NOT PRUNESID_LAPACKE_INCLUDE_DIR)
    string(APPEND prunesid_blas_missing
        "lapacke.h was not found: install Debian's liblapacke-dev or set "
        "PRUNESID_LAPACKE_INCLUDE_DIR. ")
endif()
if(NOT prunesid_blas_missing STREQUAL "")
    return()
endif()

# What OpenBLAS's archive needs beside it: an archive cannot say that itself.
set(prunesid_blas_private ${PRUNESID_PC_OPENBLAS_STATIC_LIBRARIES})
list(REMOVE_ITEM prunesid_blas_private openblas m)
if(prunesid_blas_private)
    list(REMOVE_DUPLICATES prunesid_blas_private)
endif()
if("gfortran" IN_LIST prunesid_blas_private)
    include(CheckLibraryExists)
    check_library_exists(quadmath quadmath_snprintf "" PRUNESID_HAS_QUADMATH) # x86's gfortran
    if(PRUNESID_HAS_QUADMATH)
        list(APPEND prunesid_blas_private quadmath)
    endif()
endif()
set(prunesid_blas_libraries ${PRUNESID_LAPACKE_LIBRARIES} ${PRUNESID_BLAS_LIBRARIES})
list(REMOVE_DUPLICATES prunesid_blas_libraries)
if(prunesid_blas_libraries MATCHES "libopenblas[^/;]*\\.a(;|$)")
    list(APPEND prunesid_blas_libraries ${prunesid_blas_private})
endif()

add_library(prunesid::blas INTERFACE IMPORTED GLOBAL)
set_target_properties(prunesid::blas PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${PRUNESID_CBLAS_INCLUDE_DIR};${PRUNESID_LAPACKE_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "${prunesid_blas_libraries}")
