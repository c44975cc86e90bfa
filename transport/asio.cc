// Asio's own code, compiled once. Everywhere else its headers only declare
// (BOOST_ASIO_SEPARATE_COMPILATION): with all of it in each of a hundred files
// building took much longer.
#include <boost/asio/impl/src.hpp>
