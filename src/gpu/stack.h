/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_STACK_H
#define GPU_STACK_H

/*
 * Numbers 0 to n - 1 that are free, last in first out, so that what is warm
 * in a cache is used again first. Lock-free, from any thread: the head is
 * (changes << 32 | number + 1), and the count of changes keeps a slow popper
 * from taking a head that has been away meanwhile.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <tcpx/status.h>

#include "base/atomic.h"

struct stack {
	_Atomic uint64_t head;	 /* low half 0: empty */
	_Atomic uint32_t *below; /* of each number: the next one + 1, or 0 */
};

static inline void stack_push(struct stack *stack, uint32_t number)
{
	uint64_t old = load_relaxed(&stack->head), new;

	do {
		store_relaxed(&stack->below[number], (uint32_t)old);
		new = ((old >> 32) + 1) << 32 | (number + 1);
		/* Release: what the putter did happens before the getter. */
	} while (!atomic_compare_exchange_weak_explicit(&stack->head, &old, new,
							memory_order_release,
							memory_order_relaxed));
}

static inline bool stack_pop(struct stack *stack, uint32_t *number)
{
	uint64_t old = load_acquire(&stack->head), new;
	uint32_t top;

	do {
		top = (uint32_t)old;
		if (top == 0)
			return false;
		new = ((old >> 32) + 1) << 32 |
		      load_relaxed(&stack->below[top - 1]);
	} while (!atomic_compare_exchange_weak_explicit(&stack->head, &old, new,
							memory_order_acquire,
							memory_order_acquire));
	*number = top - 1;
	return true;
}

/* Full: 0 is the first to be popped. */
static inline int stack_init(struct stack *stack, uint32_t n)
{
	stack->below = calloc(n ? n : 1, sizeof(*stack->below));
	if (!stack->below)
		return TCPX_ENOMEM;
	atomic_init(&stack->head, 0);
	for (uint32_t i = n; i > 0; i--)
		stack_push(stack, i - 1);
	return TCPX_OK;
}

static inline void stack_fini(struct stack *stack)
{
	free(stack->below);
	stack->below = NULL;
}

#endif
