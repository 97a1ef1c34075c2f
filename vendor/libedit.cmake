# libedit: editing of lines at the prompt of hvlua, from the package libedit-dev; its only includer
# is bindings/line_editor.c. Linked statically where its archives are there, so that hvlua runs
# where no libedit is installed.
#
# HV_REPL: AUTO takes it where it is found, ON insists, OFF leaves it out. Without it the prompt
# reads plain lines.
set(HV_REPL AUTO CACHE STRING "Line editing at hvlua's prompt, by libedit: AUTO, ON or OFF")
set_property(CACHE HV_REPL PROPERTY STRINGS AUTO ON OFF)

add_library(hv_libedit INTERFACE)
if(NOT HV_REPL STREQUAL OFF)
    find_package(PkgConfig QUIET)
    pkg_check_modules(HV_LIBEDIT_PC QUIET libedit>=${HV_LIBEDIT_VERSION_MIN})
    find_path(HV_LIBEDIT_INCLUDE_DIR histedit.h)
    find_library(HV_LIBEDIT_LIBRARY NAMES libedit.a edit)
    set(libedit_needs "")
    if(HV_LIBEDIT_LIBRARY MATCHES "\\.a$")
        foreach(name tinfo bsd md)
            find_library(HV_LIBEDIT_${name} NAMES lib${name}.a ${name})
            if(HV_LIBEDIT_${name})
                list(APPEND libedit_needs ${HV_LIBEDIT_${name}})
            endif()
        endforeach()
    endif()
    if(HV_LIBEDIT_PC_FOUND AND HV_LIBEDIT_INCLUDE_DIR AND HV_LIBEDIT_LIBRARY)
        target_include_directories(hv_libedit SYSTEM INTERFACE ${HV_LIBEDIT_INCLUDE_DIR})
        target_compile_definitions(hv_libedit INTERFACE HVL_HAS_LIBEDIT=1)
        target_link_libraries(hv_libedit INTERFACE ${HV_LIBEDIT_LIBRARY} ${libedit_needs})
        message(STATUS "Line editing at the prompt: ${HV_LIBEDIT_LIBRARY}")
    elseif(HV_REPL STREQUAL AUTO)
        message(STATUS "Line editing at the prompt: none, libedit was not found")
    else()
        message(FATAL_ERROR "HV_REPL=ON needs libedit (Debian: libedit-dev)")
    endif()
endif()
