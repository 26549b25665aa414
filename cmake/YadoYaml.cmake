# YADO_YAML_PYTHON: an interpreter that has PyYAML. The package python3-yaml belongs to Debian's own
# Python, which need not be the first that is found.
foreach(candidate ${Python3_EXECUTABLE} /usr/bin/python3)
    if(NOT YADO_YAML_PYTHON)
        execute_process(COMMAND ${candidate} -c "import yaml" RESULT_VARIABLE result
                        OUTPUT_QUIET ERROR_QUIET)
        if(result EQUAL 0)
            set(YADO_YAML_PYTHON ${candidate} CACHE FILEPATH "Python with PyYAML")
        endif()
    endif()
endforeach()
if(NOT YADO_YAML_PYTHON)
    message(FATAL_ERROR "PyYAML is missing: tools/install-deps build (package python3-yaml)")
endif()
