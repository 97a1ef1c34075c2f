# Programs as users write them, one ctest entry each: compiled as C99 against an installed
# prefix, run, and watched. The prefix is made once. `readme` are those of README.md.

set(programs_prefix ${PROJECT_BINARY_DIR}/programs)
add_test(NAME ${prefix}programs.install COMMAND bash -c
    "rm -rf '${programs_prefix}' && \
     '${CMAKE_COMMAND}' --install '${PROJECT_BINARY_DIR}' --prefix '${programs_prefix}' && \
     ln -s '${PROJECT_BINARY_DIR}/bin/examples' '${programs_prefix}/examples'")
set_tests_properties(${prefix}programs.install PROPERTIES LABELS programs TIMEOUT ${timeout}
    FIXTURES_SETUP ${prefix}programs)

string(REPLACE ";" " " programs_flags "${sanitizers}")
file(GLOB programs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/programs/*.c)
foreach(program IN LISTS programs ITEMS readme cplusplus)
    get_filename_component(name ${program} NAME_WE)
    add_test(NAME ${prefix}programs.${name} COMMAND bash ${PROJECT_SOURCE_DIR}/spec/programs/run.sh
        ${programs_prefix} ${CMAKE_INSTALL_LIBDIR} ${name} ${CMAKE_C_COMPILER}
        "${programs_flags}")
    set_tests_properties(${prefix}programs.${name} PROPERTIES LABELS programs TIMEOUT ${timeout}
        FIXTURES_REQUIRED ${prefix}programs ENVIRONMENT "${sanitizer_env}")
endforeach()
