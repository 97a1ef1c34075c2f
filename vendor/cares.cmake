# c-ares, linked into libhv for its resolver. By plain name, so that an installed CMake package of
# ours needs no finder for it.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_CARES_PC REQUIRED libcares>=${HV_CARES_VERSION_MIN})
add_library(hv_cares INTERFACE)
target_include_directories(hv_cares SYSTEM INTERFACE ${HV_CARES_PC_INCLUDE_DIRS})
target_link_libraries(hv_cares INTERFACE cares)
