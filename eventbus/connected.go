package eventbus

// Connected says whether the bus's link is connected at this moment.
func (b *Bus) Connected() bool { return b.link.Connected() }
