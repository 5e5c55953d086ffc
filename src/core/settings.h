/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

/*
 * The table of settings: one row a setting, and what can be done with a row
 * and a struct tcpx_config without knowing which setting it is. A new setting
 * is a field in p2p.h and a row in settings.c.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <tcpx/p2p.h>

#include "base/text.h"

enum setting_kind {
	SETTING_TEXT,	/* min to max: length in bytes; NULL is always valid */
	SETTING_SECRET, /* the same, never shown */
	SETTING_NUMBER,
	SETTING_SIZE,	/* bytes; suffixes allowed */
	SETTING_BOOL,
	SETTING_PORTS,	/* this field and the next: first, last */
	SETTING_LEVEL,	/* enum tcpx_log_level */
};

/* An older name. means: what it stands for when it is on; NULL: its value. */
struct setting_alias {
	const char *variable;
	const char *means;
};

struct setting {
	const char *name; /* of the field */
	const char *variable;
	struct setting_alias aliases[2];
	enum setting_kind kind;
	size_t offset, width_bytes; /* of the field */
	int64_t def, min, max;
	int64_t step; /* multiples of it only; 0: any */
	bool zero_too; /* 0 is allowed, below min */
	const char *def_text; /* SETTING_TEXT; NULL: not set */
	/* SETTING_TEXT of these words only, NULL behind the last; NULL: any. */
	const char *(*word)(uint32_t i);
	bool several; /* of them, separated by commas or spaces */
	/* What the default comes to on this machine; NULL: it is as it says. */
	uint32_t (*here)(const struct tcpx_config *config);
	const char *form; /* said instead of the lengths; NULL: they are */
	const char *help;
};

extern const struct setting settings[];
extern const size_t n_settings;

void setting_default(const struct setting *s, struct tcpx_config *config);
/* Writes the field and returns true if text is an allowed value. */
bool setting_parse(const struct setting *s, struct tcpx_config *config,
		   const char *text);
bool setting_valid(const struct setting *s, const struct tcpx_config *config);
bool setting_same(const struct setting *s, const struct tcpx_config *a,
		  const struct tcpx_config *b);
/* The strings of SETTING_TEXT and SETTING_SECRET. */
bool setting_is_text(const struct setting *s);
const char **setting_text(const struct setting *s, struct tcpx_config *config);

/* For messages: `512K`, `"eth0"`, `(hidden)`; and what is allowed. */
void setting_show(const struct setting *s, const struct tcpx_config *config,
		  struct text *out);
void setting_show_allowed(const struct setting *s, struct text *out);
/* The value as a JSON string, number or boolean; NULL: out of memory. */
json_t *setting_json(const struct setting *s, const struct tcpx_config *config);

#endif
