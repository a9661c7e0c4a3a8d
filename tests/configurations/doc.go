// Package configurations asks whether a configuration loads, and compares with what nats-server
// 2.15.2 has said to it; testdata holds both.
package configurations
