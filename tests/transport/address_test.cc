#include "transport/address.h"

#include <gtest/gtest.h>

namespace hearsay::transport {
namespace {

TEST(AddressTest, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:7400"), (HostPort{"127.0.0.1", 7400}));
  EXPECT_EQ(ParseHostPort("node-1.example:1"), (HostPort{"node-1.example", 1}));
  EXPECT_EQ(ParseHostPort("[::1]:65535"), (HostPort{"::1", 65535}));
  EXPECT_EQ(ParseHostPort("h:0"), (HostPort{"h", 0}));
}

TEST(AddressTest, WritesWhatItReads) {
  for (const char* text : {"127.0.0.1:7400", "[::1]:80", "host:0"})
    EXPECT_EQ(ToString(*ParseHostPort(text)), text);
}

TEST(AddressTest, RejectsTheRest) {
  for (const char* text :
       {"", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:+1",
        "host:8o", "host:80 ", " host:80", "ho st:80", "::1:80", "[]:80",
        "host:0x50", "host:99999999999999999999", "h\nx:1", "h\x7f:1"})
    EXPECT_FALSE(ParseHostPort(text)) << text;
  EXPECT_FALSE(ParseHostPort(std::string(300, 'h') + ":80"));
}

TEST(AddressTest, KnowsTheInterfaceOfLoopback) {
  EXPECT_EQ(InterfaceOf("127.0.0.1"), "lo");
  EXPECT_EQ(InterfaceOf("127.8.9.10"), "lo");
  EXPECT_EQ(InterfaceOf("0.0.0.0"), "");
  EXPECT_EQ(InterfaceOf("192.0.2.1"), "");  // Reserved for documentation.
  EXPECT_EQ(InterfaceOf("no address"), "");
}

}  // namespace
}  // namespace hearsay::transport
