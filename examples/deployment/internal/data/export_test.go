package data

import "database/sql"

// Raw is the pool that writes, for looking behind the methods.
func (d *DB) Raw() *sql.DB { return d.write }

// Reader is the pool that reads.
func (d *DB) Reader() *sql.DB { return d.read }

// Transaction is what the methods use.
var Transaction = (*DB).transaction
