# zlib, linked into libhv for gzip and deflate. By plain name, as c-ares.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_ZLIB_PC REQUIRED zlib>=${HV_ZLIB_VERSION_MIN})
add_library(hv_zlib INTERFACE)
target_include_directories(hv_zlib SYSTEM INTERFACE ${HV_ZLIB_PC_INCLUDE_DIRS})
target_link_libraries(hv_zlib INTERFACE z)
