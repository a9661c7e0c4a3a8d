// Package tidy holds tests that keep the shape of the repository true: which package may import
// which, how long files and functions may grow, how source is formatted, that every package says
// what it is for, and which strings have no place in the project.
//
// It reads source as text and syntax trees and builds nothing, so it sees the files of every
// system and costs a second. When one of its tests fails, the change is wrong or the design has
// changed; the second is a decision of its own and not a way to make the first pass.
package tidy
