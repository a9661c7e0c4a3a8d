// Command edgebus is the bus and its tools in one program. Without a subcommand it serves,
// with the command line of nats-server; pub, sub, request, reply and bench talk to a bus;
// check, passwd and version help to run one.
//
// This package parses command lines and prints. What it does is in daemon and client.
//
// Exit codes: 0 done, 1 it could not be done, 2 the command line makes no sense.
package main
