package parser

// needsBlank holds the verbs that a blank or tab must follow. CONNECT and INFO may run into
// their JSON, and PING, PONG and +OK into anything at all; nats-server takes them so.
var needsBlank = [...]bool{
	Pub: true, HPub: true, Msg: true, HMsg: true, Sub: true, Unsub: true, Err: true,
	LeafSub: true, LeafUnsub: true, LeafMsg: true, LeafHMsg: true,
}

// dialects are the verbs of each dialect.
var dialects = [...][]Verb{
	FromClient: {Pub, HPub, Sub, Unsub, Ping, Pong, Connect, Info, OK, Err},
	FromServer: {Msg, HMsg, Ping, Pong, OK, Err, Info},
	FromLeaf:   {LeafMsg, LeafHMsg, LeafSub, LeafUnsub, Ping, Pong, Connect, Info, OK, Err},
}

// name finds the verb at the head of in and where it ends, for the lines that Next does not
// know by their first four bytes. None without an error means that bytes are missing.
func (p *Parser) name(in []byte) (verb Verb, at int, err error) {
	possible := len(in) == 0
	for _, verb := range dialects[p.Dialect] {
		name := verbNames[verb]
		n := 0
		for n < len(name) && n < len(in) && upper(in[n]) == name[n] {
			n++
		}
		switch {
		case n == len(name):
			if n < len(in) && needsBlank[verb] && in[n] != ' ' && in[n] != '\t' {
				return None, 0, ErrUnknownOp
			}
			return verb, n, nil
		case n == len(in):
			possible = true
		}
	}
	if !possible {
		return None, 0, ErrUnknownOp
	}
	return None, 0, nil
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// unquote takes the quotes off the text of an -ERR, if it has them.
func unquote(b []byte) []byte {
	b = trimBlanks(b)
	if len(b) >= 2 && b[0] == '\'' && b[len(b)-1] == '\'' {
		b = b[1 : len(b)-1]
	}
	return b
}
