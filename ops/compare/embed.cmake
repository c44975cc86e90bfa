# Makes a C++ source out of a text file, for what a program must carry with it:
#   cmake -D IN=FILE -D OUT=FILE.cc -D NAME=kName -P embed.cmake
# which defines `extern const std::string_view hearsay::ops::kName`.
file(READ "${IN}" text)
set(mark "~hearsay~")
string(FIND "${text}" ")${mark}\"" at)
if(NOT at EQUAL -1)
  message(FATAL_ERROR "${IN}: holds the mark that ends it in C++: )${mark}\"")
endif()
file(WRITE "${OUT}" "// Made of ${IN} by embed.cmake.\n"
  "#include <string_view>\n"
  "namespace hearsay::ops {\n"
  "extern const std::string_view ${NAME};\n"
  "const std::string_view ${NAME} = R\"${mark}(${text})${mark}\";\n"
  "}  // namespace hearsay::ops\n")
