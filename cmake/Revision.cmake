# cmake -D SOURCE=.. -D RESULT=.. -P Revision.cmake: writes a header with the revision of this
# build, which tells it from others of the same version: its commit, "-dirty" behind it if the
# program's files were changed since; OLLAMAMAX_REVISION where there is no checkout (Docker); else
# "unknown".

set(revision "$ENV{OLLAMAMAX_REVISION}")
if(NOT revision AND EXISTS ${SOURCE}/.git)
  execute_process(COMMAND git -C ${SOURCE} rev-parse --short=10 HEAD OUTPUT_VARIABLE revision
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # Without a lock: somebody may be committing.
  execute_process(COMMAND git -C ${SOURCE} --no-optional-locks status --porcelain
    --untracked-files=no -- src cmake CMakeLists.txt tools/build_llama.sh
    tools/llama-jinja-limits.patch OUTPUT_VARIABLE changes ERROR_QUIET)
  if(revision AND changes)
    string(APPEND revision "-dirty")
  endif()
endif()
if(NOT revision MATCHES "^[0-9A-Za-z.+-]+$")
  set(revision unknown)
endif()

# Writes only what has changed: else everything that reads it would be compiled again.
file(CONFIGURE OUTPUT ${RESULT} CONTENT "#define OLLAMAMAX_REVISION \"${revision}\"\n" @ONLY)
