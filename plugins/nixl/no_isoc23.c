/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Built with a glibc of 2.38 or newer, our sources and the static libraries
 * beside them ask for these by the names of C23, which the glibc of the images
 * that NIXL runs in has not got. They differ from the old ones by "0b101".
 */
#include <stdarg.h>
#include <stdio.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* By their symbols: the headers would turn the plain names into the new ones.
 */
long old_strtol(const char *text, char **end, int base) __asm__("strtol");
unsigned long old_strtoul(const char *text, char **end,
			  int base) __asm__("strtoul");
long long old_strtoll(const char *text, char **end,
		      int base) __asm__("strtoll");
unsigned long long old_strtoull(const char *text, char **end,
				int base) __asm__("strtoull");
int old_vsscanf(const char *text, const char *fmt,
		va_list args) __asm__("__isoc99_vsscanf");
int old_vfscanf(FILE *file, const char *fmt,
		va_list args) __asm__("__isoc99_vfscanf");

HIDDEN long __isoc23_strtol(const char *text, char **end, int base);
HIDDEN unsigned long __isoc23_strtoul(const char *text, char **end, int base);
HIDDEN long long __isoc23_strtoll(const char *text, char **end, int base);
HIDDEN unsigned long long __isoc23_strtoull(const char *text, char **end,
					    int base);
HIDDEN int __isoc23_sscanf(const char *text, const char *fmt, ...);
HIDDEN int __isoc23_fscanf(FILE *file, const char *fmt, ...);

long __isoc23_strtol(const char *text, char **end, int base)
{
	return old_strtol(text, end, base);
}

unsigned long __isoc23_strtoul(const char *text, char **end, int base)
{
	return old_strtoul(text, end, base);
}

long long __isoc23_strtoll(const char *text, char **end, int base)
{
	return old_strtoll(text, end, base);
}

unsigned long long __isoc23_strtoull(const char *text, char **end, int base)
{
	return old_strtoull(text, end, base);
}

int __isoc23_sscanf(const char *text, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = old_vsscanf(text, fmt, args);

	va_end(args);
	return n;
}

int __isoc23_fscanf(FILE *file, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int n = old_vfscanf(file, fmt, args);

	va_end(args);
	return n;
}
