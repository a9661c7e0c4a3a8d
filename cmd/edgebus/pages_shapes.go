package main

import "time"

// What is read of pages. They have much more on them.

type varzPage struct {
	ServerID         string    `json:"server_id"`
	ServerName       string    `json:"server_name"`
	Version          string    `json:"version"`
	EdgebusVersion   string    `json:"edgebus_version"`
	Port             int       `json:"port"`
	Uptime           string    `json:"uptime"`
	Now              time.Time `json:"now"`
	Mem              int64     `json:"mem"`
	MemLimit         int64     `json:"gomemlimit"`
	CPU              float64   `json:"cpu"`
	Connections      int       `json:"connections"`
	MaxConnections   int       `json:"max_connections"`
	TotalConnections uint64    `json:"total_connections"`
	LeafNodes        int       `json:"leafnodes"`
	Subscriptions    uint32    `json:"subscriptions"`
	InMsgs           int64     `json:"in_msgs"`
	InBytes          int64     `json:"in_bytes"`
	OutMsgs          int64     `json:"out_msgs"`
	OutBytes         int64     `json:"out_bytes"`
	SlowConsumers    int64     `json:"slow_consumers"`
	ConfigDigest     string    `json:"config_digest"`
}

type connzPage struct {
	Total       int       `json:"total"`
	Now         time.Time `json:"now"`
	Connections []connRow `json:"connections"`
}

type connRow struct {
	CID           uint64 `json:"cid"`
	IP            string `json:"ip"`
	Port          int    `json:"port"`
	RTT           string `json:"rtt"`
	Idle          string `json:"idle"`
	PendingBytes  int    `json:"pending_bytes"`
	InMsgs        int64  `json:"in_msgs"`
	OutMsgs       int64  `json:"out_msgs"`
	InBytes       int64  `json:"in_bytes"`
	OutBytes      int64  `json:"out_bytes"`
	Subscriptions uint32 `json:"subscriptions"`
	Name          string `json:"name"`
	User          string `json:"authorized_user"`
	Account       string `json:"account"`
}

type leafzPage struct {
	Leafs []struct {
		Name    string `json:"name"`
		Account string `json:"account"`
		IsSpoke bool   `json:"is_spoke"`
		Link    *struct {
			WaitingMsgs int    `json:"waiting_msgs"`
			Dropped     uint64 `json:"dropped_msgs"`
		} `json:"link"`
	} `json:"leafs"`
	Remotes []struct {
		URL      string    `json:"url"`
		Account  string    `json:"account"`
		Up       bool      `json:"up"`
		Since    time.Time `json:"since"`
		Attempts int       `json:"attempts"`
		Reason   string    `json:"reason"`
		Remedy   string    `json:"remedy"`
	} `json:"remotes"`
	TooBig          uint64 `json:"too_big_msgs"`
	LostWaiting     uint64 `json:"lost_waiting_msgs"`
	LostUnconfirmed uint64 `json:"lost_unconfirmed_msgs"`
}
