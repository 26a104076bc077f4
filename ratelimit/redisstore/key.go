package redisstore

import (
	"encoding/base64"

	"github.com/gatehouse-go/gatehouse/ratelimit"
)

// appendKey makes the name of a bucket: prefix, the group as the hash tag, the
// key. Base64url has no brace and no byte of a glob pattern outside brackets.
func appendKey(dst []byte, prefix string, b *ratelimit.Bucket) []byte {
	dst = append(dst, prefix...)
	dst = append(dst, '{')
	dst = base64.RawURLEncoding.AppendEncode(dst, b.Group[:])
	dst = append(dst, '}')
	return base64.RawURLEncoding.AppendEncode(dst, b.Key[:])
}

// slotOf is the cluster's hash slot of a group: CRC-16/XMODEM of the hash tag,
// modulo 16384 (Redis cluster specification, "Key distribution model").
func slotOf(group [16]byte) uint16 {
	var tag [24]byte
	var crc uint16
	for _, b := range base64.RawURLEncoding.AppendEncode(tag[:0], group[:]) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^b]
	}
	return crc % slots
}

const slots = 16384

var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
}()
