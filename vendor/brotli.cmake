# brotli, linked into libhv for the content coding "br". By plain names, as c-ares.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_BROTLI_PC REQUIRED libbrotlienc>=${HV_BROTLI_VERSION_MIN}
    libbrotlidec>=${HV_BROTLI_VERSION_MIN})
add_library(hv_brotli INTERFACE)
target_include_directories(hv_brotli SYSTEM INTERFACE ${HV_BROTLI_PC_INCLUDE_DIRS})
target_link_libraries(hv_brotli INTERFACE brotlienc brotlidec)
