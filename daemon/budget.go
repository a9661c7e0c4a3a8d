package daemon

import (
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strconv"
	"strings"
)

// What single things take, measured and rounded up.
const (
	runtimeBytes      = 8 << 20   // the program itself: runtime, code in use, stacks
	loopBytes         = 256 << 10 // input buffer, events, pooled output
	cacheBytes        = 2 << 20   // a lane's match cache when it is full
	subscriptionBytes = 300       // with its text and its part of the index
	connectionBytes   = 1 << 10   // an idle connection with two subscriptions
	secureBytes       = 13 << 10  // what TLS adds to it
	syslogBytes       = syslogQueue * maxSyslogLine

	// The default of max_connections: as nats-server's, where a quarter of memory_limit has room
	// for it.
	defaultMaxConnections = 65536
	minMaxConnections     = 128
	// ownDescriptors is what files, pipes and listeners of our own may take.
	ownDescriptors = 64
)

// A budget is the worst case, part by part.
type budget []budgetPart

type budgetPart struct {
	what  string
	bytes int64
	keys  string // what makes it less
}

// defaultLoops is one for each processor that the runtime was given by machine and container. Other
// defaults take five eighths of the memory; the loops must fit into the rest.
func defaultLoops(limit int64) int {
	room := (limit/8*3 - runtimeBytes) / (loopBytes + cacheBytes)
	return int(max(1, min(int64(runtime.GOMAXPROCS(0)), room)))
}

// defaultConnections is as many as memory and the system's limit of descriptors have room for:
// a client that is told "maximum connections exceeded" knows more than one that is left to wait.
func defaultConnections(limit int64, descriptors uint64, each int64) int {
	if limit <= 0 {
		limit = unknownMemory
	}
	most := max(minMaxConnections, min(defaultMaxConnections, limit/4/each))
	if descriptors > 0 && descriptors < defaultMaxConnections+ownDescriptors {
		n := int64(descriptors)
		most = min(most, max(n-ownDescriptors, n/2, 1))
	}
	return int(most)
}

// connectionBytes is what an idle connection takes.
func (o *Options) connectionBytes() int64 {
	if o.TLS != nil {
		return connectionBytes + secureBytes
	}
	return connectionBytes
}

// budget adds up what the options allow. max_pending does not stand in it times the connections:
// pending_total is the bound of all of them together. Subscriptions have no bound unless
// max_subscriptions sets one, and are not in it.
func (o *Options) budget() budget {
	loops := int64(o.Engine.Loops)
	b := budget{
		{"program", runtimeBytes, ""},
		{fmt.Sprintf("%d loops with their match caches", loops), loops * (loopBytes + cacheBytes), "loops"},
		{fmt.Sprintf("%d connections", o.Server.MaxConnections), int64(o.Server.MaxConnections) * o.connectionBytes(), "max_connections"},
		{"output for slow clients", o.Engine.PendingTotal, "pending_total, max_pending"},
		{"half-received messages", o.Engine.PartialTotal, "partial_total"},
	}
	if o.Leaf.listens() || len(o.Leaf.Remotes) > 0 {
		b = append(b, budgetPart{"messages for leaf links", o.Leaf.PendingTotal, "leafnodes.max_pending"})
	}
	if o.Log.Syslog || o.Log.RemoteSyslog != "" {
		b = append(b, budgetPart{"lines for syslog", syslogBytes, "syslog, remote_syslog"})
	}
	return b
}

func (b budget) total() int64 {
	sum := int64(0)
	for _, part := range b {
		if part.bytes > math.MaxInt64-sum {
			return math.MaxInt64
		}
		sum += part.bytes
	}
	return sum
}

func (b budget) String() string {
	parts := make([]string, len(b))
	for i, part := range b {
		parts[i] = part.what + " " + showBytes(part.bytes)
	}
	return strings.Join(parts, ", ")
}

// check refuses a worst case that does not fit: better now than in the night when it comes.
func (b budget) check(limit int64) error {
	total := b.total()
	if limit <= 0 || total <= limit {
		return nil
	}
	largest := b[1]
	for _, part := range b[1:] {
		if part.bytes > largest.bytes {
			largest = part
		}
	}
	return fmt.Errorf("%w: it comes to %s (%v) and memory_limit is %s: lower %s, or raise memory_limit",
		ErrMemory, showBytes(total), b, showBytes(limit), largest.keys)
}

// log prints the worst case; where there is plenty it interests nobody.
func (b budget) log(logger *slog.Logger, limit int64) {
	total := b.total()
	if limit <= 0 || total < limit/2 {
		logger.Debug("Worst case of memory, subscriptions aside: "+showBytes(total), "limit", showBytes(limit), "parts", b.String())
		return
	}
	logger.Info("Worst case of memory, subscriptions aside: " + showBytes(total) + " of " + showBytes(limit))
	logger.Debug("It is made of: " + b.String())
}

// showBytes writes a size as people do.
func showBytes(n int64) string {
	switch {
	case n == 0:
		return "unknown"
	case n >= 10<<30:
		return strconv.FormatInt(n>>30, 10) + " GiB"
	case n >= 10<<20:
		return strconv.FormatInt(n>>20, 10) + " MiB"
	case n >= 10<<10:
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}
