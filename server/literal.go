package server

// isLiteral reports whether every token has something in it and none is a wildcard.
func isLiteral(subject []byte) bool {
	from := 0
	for i := 0; i <= len(subject); i++ {
		if i < len(subject) && subject[i] != '.' {
			continue
		}
		if i == from || i == from+1 && (subject[from] == '*' || subject[from] == '>') {
			return false
		}
		from = i + 1
	}
	return true
}
