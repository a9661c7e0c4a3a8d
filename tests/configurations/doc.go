// Package configurations asks whether a configuration of users, accounts and mappings loads, and
// compares with what nats-server 2.15.2 has said to it. testdata holds both; where the reference is
// there, it is asked again.
package configurations
