/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DICE_H
#define BASE_DICE_H

#include <stdint.h>

/* Numbers that look random and repeat with the seed (splitmix64). */
struct dice {
	uint64_t state;
};

static inline uint64_t dice_next(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* 0 to n - 1 */
static inline uint32_t dice_roll(struct dice *dice, uint32_t n)
{
	return (uint32_t)(dice_next(dice) % n);
}

#endif
