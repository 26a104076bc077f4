package data

import "database/sql"

// Raw is the pool that writes, for looking behind the methods.
func (d *DB) Raw() *sql.DB { return d.write }

// Transaction is what the methods use.
var Transaction = (*DB).transaction
