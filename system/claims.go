package system

// addClaims adds the requests about account JWTs. What is asked and answered is the store's business; here
// answers get the envelope.
func (s *System) addClaims(add func(filter string, slow bool, do func(*request))) {
	c := s.options.Claims
	for _, filter := range c.Subjects {
		add(filter, false, func(r *request) {
			c.Answer(r.subject, r.body, func(reply ClaimsReply) {
				switch {
				case r.reply == "":
				case reply.Raw != nil || reply.Data == nil && reply.Error == nil:
					s.raw(r, reply.Raw)
				default:
					s.send(&outgoing{subject: r.reply, make: func(server serverInfo) []byte {
						return s.marshal(claimsAnswer{server, reply.Data, reply.Error})
					}})
				}
			})
		})
	}
}

// claimsAnswer is the envelope.
type claimsAnswer struct {
	Server serverInfo `json:"server"`
	Data   any        `json:"data,omitempty"`
	Error  any        `json:"error,omitempty"`
}
