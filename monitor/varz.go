package monitor

import "time"

// Varz is the page about the server.
type Varz struct {
	ServerID         string        `json:"server_id"`
	ServerName       string        `json:"server_name"`
	Version          string        `json:"version"`
	Proto            int           `json:"proto"`
	GitCommit        string        `json:"git_commit,omitempty"`
	Go               string        `json:"go"`
	Host             string        `json:"host"`
	Port             int           `json:"port"`
	AuthRequired     bool          `json:"auth_required,omitempty"`
	TLSRequired      bool          `json:"tls_required,omitempty"`
	TLSVerify        bool          `json:"tls_verify,omitempty"`
	MaxConnections   int           `json:"max_connections"`
	MaxSubscriptions int           `json:"max_subscriptions,omitempty"`
	PingInterval     time.Duration `json:"ping_interval"`
	PingMax          int           `json:"ping_max"`
	HTTPHost         string        `json:"http_host"`
	HTTPPort         int           `json:"http_port"`
	HTTPBasePath     string        `json:"http_base_path"`
	HTTPSPort        int           `json:"https_port"`
	AuthTimeout      float64       `json:"auth_timeout"` // seconds
	MaxControlLine   int           `json:"max_control_line"`
	MaxPayload       int           `json:"max_payload"`
	MaxPending       int64         `json:"max_pending"`

	// What there is none of here is an empty object.
	Cluster   struct{} `json:"cluster"`
	Gateway   struct{} `json:"gateway"`
	Leaf      LeafVarz `json:"leaf"`
	MQTT      struct{} `json:"mqtt"`
	WebSocket struct{} `json:"websocket"`
	JetStream struct{} `json:"jetstream"`

	TLSTimeout       float64           `json:"tls_timeout"` // seconds
	WriteDeadline    time.Duration     `json:"write_deadline"`
	Start            time.Time         `json:"start"`
	Now              time.Time         `json:"now"`
	Uptime           string            `json:"uptime"`
	Mem              int64             `json:"mem"`
	Cores            int               `json:"cores"`
	MaxProcs         int               `json:"gomaxprocs"`
	MemLimit         int64             `json:"gomemlimit,omitempty"`
	CPU              float64           `json:"cpu"` // percent of one core
	Connections      int               `json:"connections"`
	TotalConnections uint64            `json:"total_connections"`
	Routes           int               `json:"routes"`
	Remotes          int               `json:"remotes"`
	LeafNodes        int               `json:"leafnodes"`
	InMsgs           int64             `json:"in_msgs"`
	InBytes          int64             `json:"in_bytes"`
	InClientMsgs     int64             `json:"in_client_msgs"`
	InClientBytes    int64             `json:"in_client_bytes"`
	OutMsgs          int64             `json:"out_msgs"`
	OutBytes         int64             `json:"out_bytes"`
	OutClientMsgs    int64             `json:"out_client_msgs"`
	OutClientBytes   int64             `json:"out_client_bytes"`
	SlowConsumers    int64             `json:"slow_consumers"`
	StaleConnections int64             `json:"stale_connections"`
	StalledClients   int64             `json:"stalled_clients"`
	Subscriptions    uint32            `json:"subscriptions"`
	HTTPRequests     map[string]uint64 `json:"http_req_stats"`
	ConfigLoadTime   time.Time         `json:"config_load_time"`
	ConfigDigest     string            `json:"config_digest"`
	Tags             []string          `json:"tags,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	FeatureFlags     map[string]bool   `json:"feature_flags"`
	OperatorJWTs     []string          `json:"trusted_operators_jwt,omitempty"`
	OperatorClaims   []any             `json:"trusted_operators_claim,omitempty"`
	SystemAccount    string            `json:"system_account,omitempty"`
	SlowBy           ByKind            `json:"slow_consumer_stats"`
	StaleBy          ByKind            `json:"stale_connection_stats"`
	DiskIOWait       DiskIOWait        `json:"disk_io_wait_stats"`
	TLSCertNotAfter  time.Time         `json:"tls_cert_not_after,omitzero"`

	// EdgebusVersion is the program's own; nats-server has no such field.
	EdgebusVersion string `json:"edgebus_version,omitempty"`
}

// LeafVarz is how the door for leaves is configured, and which hubs are to be joined. It is empty where
// there is neither.
type LeafVarz struct {
	Host        string       `json:"host,omitempty"`
	Port        int          `json:"port,omitempty"`
	AuthTimeout float64      `json:"auth_timeout,omitempty"` // seconds
	TLSTimeout  float64      `json:"tls_timeout,omitempty"`  // seconds
	TLSRequired bool         `json:"tls_required,omitempty"`
	TLSVerify   bool         `json:"tls_verify,omitempty"`
	Remotes     []RemoteVarz `json:"remotes,omitempty"`

	TLSCertNotAfter time.Time `json:"tls_cert_not_after,omitzero"`
}

// A RemoteVarz is one of the hubs to be joined.
type RemoteVarz struct {
	Account    string     `json:"local_account,omitempty"`
	TLSTimeout float64    `json:"tls_timeout,omitempty"` // seconds
	URLs       []string   `json:"urls,omitempty"`        // without secrets
	Deny       *DenyRules `json:"deny,omitempty"`

	TLSCertNotAfter time.Time `json:"tls_cert_not_after,omitzero"` // of our own certificate; nats-server does not say
}

// DenyRules are what may not cross a link.
type DenyRules struct {
	Exports []string `json:"exports,omitempty"`
	Imports []string `json:"imports,omitempty"`
}

// ByKind splits a number by what kind of connection it was about.
type ByKind struct {
	Clients  uint64 `json:"clients"`
	Routes   uint64 `json:"routes"`
	Gateways uint64 `json:"gateways"`
	Leafs    uint64 `json:"leafs"`
}

// DiskIOWait is about those who wait for disks. It is all zeros: here nobody does who could be counted.
type DiskIOWait struct {
	Waiters     int64  `json:"waiters"`
	Waits       uint64 `json:"waits"`
	WaitTime    uint64 `json:"wait_time"`
	MaxWaitTime uint64 `json:"max_wait_time"`
}
