package leafnode

// A Passage says whether a subject may cross a link that is up, whoever wants it.
type Passage struct {
	ID       uint64
	Name     string // of the other side
	Hub      bool   // the other side is a hub of ours
	MayLeave bool
	MayCome  bool
}

// Passages are those of an account's links for a literal subject.
func (n *Node) Passages(account, subject string) (list []Passage) {
	for _, k := range n.all() {
		k.mu.Lock()
		if k.up && !k.over && k.facts.account == account {
			literal := []byte(subject)
			list = append(list, Passage{ID: k.conn.ID(), Name: k.facts.name, Hub: k.facts.hub, MayLeave: k.filter.out(literal), MayCome: k.filter.in(literal)})
		}
		k.mu.Unlock()
	}
	return list
}

// ID is the number of the link's connection.
func (k *link) ID() uint64 { return k.conn.ID() }
