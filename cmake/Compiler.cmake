# Compiler, warnings, sanitizers and linker, the same for every room.

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "OllamaMax builds with clang 19 or newer (found ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}). Run ./run build, which installs and selects it.")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_options(-Wall -Wextra -Werror -Wno-missing-field-initializers -Wshadow
                    -Wno-error=deprecated-declarations -fno-omit-frame-pointer
                    "SHELL:-Xclang -fno-pch-timestamp" "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
add_link_options(-fuse-ld=mold)

# The same everywhere, or Asio's classes would differ between files.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
                        BOOST_ALL_NO_LIB SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL
                        OLLAMAMAX_VERSION="${PROJECT_VERSION}")

if(OLLAMAMAX_SANITIZE)
  add_compile_options(-fsanitize=${OLLAMAMAX_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OLLAMAMAX_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
