// Package leafnode joins two brokers over one link, keeping both sides' interest in step.
package leafnode
