/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_NETPLUGIN_OVER_DOUBLE_H
#define TESTS_NETPLUGIN_OVER_DOUBLE_H

#include <stdbool.h>

/* The environment of a transport whose both ends go over the double of
 * TEST_DOUBLE and lo, without a GPU; skips the test where there is none.
 * isolated: in a helper process. */
void over_double(bool isolated);

#endif
