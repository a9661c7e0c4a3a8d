// Command edgebus is the bus and its tools in one program. Without a subcommand it serves,
// with the command line of nats-server; pub, sub, request, reply and bench talk to a bus;
// up, down, upgrade and device keep a first one; check, passwd and version help to run one; doctor, why, top and
// traffic look into one; completion and man print what shells and man read, made from the table of commands.
//
// This package parses command lines and prints. What it does is in daemon and client.
//
// Exit codes: 0 done, 1 it could not be done, 2 the command line makes no sense. Of doctor 1 is
// warnings and 2 is errors; of why 1 is that nobody gets the message and 2 that it could not be asked.
package main
