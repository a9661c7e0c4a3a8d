package server

// ID is the number of the session's connection. Anyone may ask for it who finds the session in a broker.
func (s *session) ID() uint64 { return s.conn.ID() }
