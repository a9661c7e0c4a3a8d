// Package abuse does to edgebus what no client should do, in numbers that hurt, and asserts that
// the process stays up, that its memory stays under its bound, and that well-behaved clients
// hardly notice. The server runs as a process of its own.
package abuse
