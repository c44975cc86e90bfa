// UCX reads its global settings when its library is loaded, before main().
#pragma once

namespace hearsay::transport {

// Makes UCX a quiet guest: it takes neither SIGHUP (which turns its debug log
// on) nor crash signals, does not warn of UCX_ variables it does not know, and
// does not print errors to the terminal: a peer that dies is no error, and the
// others are reported by whoever made the call.
// Variables that the user has set are left alone.
//
// Call first thing in main(): it sets variables for the contexts and children
// made later, and takes back the handlers that the library has installed
// already. Threads: before any other is started.
void PrepareUcxEnvironment();

}  // namespace hearsay::transport
