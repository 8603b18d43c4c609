# Compiler, warnings, sanitizers and linker, the same for every room.

if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "OllamaMax builds with clang 19 or newer (found ${CMAKE_CXX_COMPILER_ID} "
                      "${CMAKE_CXX_COMPILER_VERSION}). Run ./run build, which installs and "
                      "selects it.")
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# Deprecated: libstdc++ 12 itself uses what it calls so (std::get_temporary_buffer in stable_sort).
add_compile_options(-Wall -Wextra -Werror -Wno-missing-field-initializers -Wshadow
                    -Wno-deprecated-declarations -fno-omit-frame-pointer
                    "SHELL:-Xclang -fno-pch-timestamp" "-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")
if(BUILD_SHARED_LIBS)
  add_compile_options(-fPIC)  # for programs too (and not -fPIE): they share a precompiled header
endif()
add_link_options(-fuse-ld=mold)
# Thin archives: a changed file does not copy its whole room; the linker needs no index.
set(CMAKE_CXX_ARCHIVE_CREATE "<CMAKE_AR> qcST <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "<CMAKE_AR> qST <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "")

# The same everywhere, or Asio's classes would differ between files.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
                        BOOST_ALL_NO_LIB SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL)

# Coroutine frames come from our pools, in every file; the header says why.
include_directories(${CMAKE_SOURCE_DIR}/src)
add_compile_options("SHELL:-include io/frame_memory.h")

if(OLLAMAMAX_SANITIZE)
  add_compile_options(-fsanitize=${OLLAMAMAX_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${OLLAMAMAX_SANITIZE})
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-ffunction-sections -fdata-sections)
  add_link_options(-Wl,--gc-sections)
endif()
