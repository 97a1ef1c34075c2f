# libpsl, linked into libhv: which domains are shared by strangers, so that no cookie is set for them.
# By plain name, as c-ares.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_PSL_PC REQUIRED libpsl>=${HV_PSL_VERSION_MIN})
add_library(hv_psl INTERFACE)
target_include_directories(hv_psl SYSTEM INTERFACE ${HV_PSL_PC_INCLUDE_DIRS})
target_link_libraries(hv_psl INTERFACE psl)
