// Beast's own code, compiled once (transport/asio.cc says why).
#include <boost/beast/src.hpp>
