package daemon

import "fmt"

// descriptors is how many sockets and files the configuration asks for.
func (o *Options) descriptors() uint64 {
	return uint64(max(0, o.Server.MaxConnections)) + uint64(max(0, o.Leaf.MaxLinks)) + uint64(len(o.Leaf.Remotes)) + ownDescriptors
}

// scarceDescriptors says that the system allows fewer than were asked for. Empty: there are enough.
func (o *Options) scarceDescriptors(limit uint64) string {
	if wanted := o.descriptors(); limit > 0 && wanted > limit {
		return fmt.Sprintf("max_connections is %d, which takes %d sockets and files with what else is configured, and the system lets this process open %d: raise LimitNOFILE of its unit, or ulimit -n, or lower max_connections",
			o.Server.MaxConnections, wanted, limit)
	}
	return ""
}

// fewDescriptors says that the system's limit has made the default of max_connections smaller. Empty: it
// has not.
func (o *Options) fewDescriptors(limit uint64) string {
	if limit == 0 || limit >= defaultMaxConnections+ownDescriptors || o.Server.MaxConnections != defaultConnections(o.MemoryLimit, limit, o.connectionBytes()) ||
		o.Server.MaxConnections == defaultConnections(o.MemoryLimit, 0, o.connectionBytes()) {
		return ""
	}
	return fmt.Sprintf("The system lets this process open %d sockets and files, so that max_connections is %d: LimitNOFILE of its unit, or ulimit -n, raises it", limit, o.Server.MaxConnections)
}
