# Fails if a file includes a header that its folder must not know.
#
# The arrows allowed are those of the table in README ("The house"): model, dp
# and transport are leaves; daemon sees the leaves; ops sees everything but
# tests; daemon/mixing is pure, so it sees no other folder of ours and neither
# sockets, files nor clocks; transport/swim is pure too, with a clock passed in.
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
if(DEFINED HEARSAY_LAYERING_ROOT)  # tests of this very check
  set(root "${HEARSAY_LAYERING_ROOT}")
endif()

set(failures 0)
function(forbid folder reason regex)
  file(GLOB_RECURSE sources
    "${root}/${folder}/*.h" "${root}/${folder}/*.cc" "${root}/${folder}/*.cu")
  foreach(source IN LISTS sources)
    file(STRINGS "${source}" bad REGEX "^[ \t]*#[ \t]*include[ \t]*${regex}")
    foreach(line IN LISTS bad)
      file(RELATIVE_PATH name "${root}" "${source}")
      message(SEND_ERROR "${name}: ${line}\n  ${folder}/ ${reason}")
      math(EXPR failures "${failures} + 1")
    endforeach()
  endforeach()
  set(failures "${failures}" PARENT_SCOPE)
endfunction()

forbid(model "is a leaf: it knows no other folder"
  "\"(dp|transport|daemon|ops|tests)/")
forbid(dp "is a leaf: it knows no other folder"
  "\"(model|transport|daemon|ops|tests)/")
forbid(transport "is a leaf: it knows no other folder"
  "\"(model|dp|daemon|ops|tests)/")
forbid(daemon "never knows the command line or the tests" "\"(ops|tests)/")
forbid(daemon/mixing "is pure: no other folder, no I/O, no clock"
  "([<\"](boost|asio|ucp|uct|ucs|sys|netinet|openssl|spdlog)/|<(chrono|fstream|iostream|thread|mutex|filesystem)>|\"(model|dp|transport|ops|daemon/[^m]))")
forbid(transport/swim "is pure: no I/O, and a clock that it is given"
  "([<\"](boost|ucp|uct|ucs|sys|netinet|openssl)/|<(fstream|iostream|thread|mutex|filesystem)>|\"transport/[^s])")
forbid(model "never knows sockets or privacy accounting"
  "[<\"](boost/asio|boost/beast|ucp|sys/socket|netinet)")
forbid(dp "never knows sockets" "[<\"](boost/asio|boost/beast|ucp|sys/socket|netinet)")
if(failures GREATER 0)
  message(FATAL_ERROR "layering: ${failures} forbidden include(s)")
endif()
message(STATUS "layering: every arrow points the allowed way")
