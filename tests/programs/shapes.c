/*
 * A workload whose stacks are known: `shapes VERB ROUNDS PACE` burns time, sleeps, waits for a lock or keeps memory,
 * seven parts in VERB_seventy and three in VERB_thirty, which VERB_both calls, which main calls. Sleeps and waits are
 * PACE times as long, for machines on which going to sleep and waking take long. It speaks the tests' protocol: a line
 * when it stands at its gate, a byte that opens it, an account of the parts as its last line.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of <linux/futex.h>, which musl does not have. */
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

#define INLINE static inline __attribute__((always_inline))
#define FUNCTION __attribute__((noinline, noclone, used))

static unsigned long seventy, thirty, pace;

/* Functions of the C library may keep no frame pointer, and leave out who calls them. */
INLINE long system_call(long number, const void *first, long second, long third)
{
	register long none __asm__("r10") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third), "r"(none)
			 : "rcx", "r11", "memory");
	return result;
}

/*
 * Turns of a loop; jumps across a border of 64 bytes take longer on some processors. They are counted on the stack, as
 * gcc keeps no frame pointer where nothing is there.
 */
INLINE unsigned long burn(unsigned long part)
{
	volatile unsigned long turns = part * 30000;
	unsigned long left = turns;

	__asm__ volatile(".balign 64\n1:\tdec %0\n\tjnz 1b" : "+r"(left) : : "cc");
	return turns;
}

struct moment {
	long switches;
	unsigned long us;
};

INLINE struct moment now(void)
{
	struct rusage usage;
	struct timespec time;

	getrusage(RUSAGE_THREAD, &usage);
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (struct moment){ usage.ru_nvcsw, time.tv_sec * 1000000UL + time.tv_nsec / 1000 };
}

/* Microseconds; none where it did not leave its CPU, as when the time was over before it could. */
INLINE unsigned long since(struct moment start)
{
	struct moment end = now();

	return end.switches > start.switches ? end.us - start.us : 0;
}

INLINE void take_nap(unsigned long part)
{
	struct timespec nap = { 0, part * 30000 * pace };

	system_call(SYS_nanosleep, &nap, 0, 0);
}

INLINE unsigned long sleep_for(unsigned long part)
{
	struct moment start = now();

	take_nap(part);
	return since(start);
}

/* How long another thread is to hold the lock, which it does as soon as it sees that. */
static int held_for;

static void *hold(void *none)
{
	for (;;) {
		int part = __atomic_load_n(&held_for, __ATOMIC_SEQ_CST);

		if (!part) {
			system_call(SYS_futex, &held_for, FUTEX_WAIT, 0);
			continue;
		}
		take_nap(part);
		__atomic_store_n(&held_for, 0, __ATOMIC_SEQ_CST);
		system_call(SYS_futex, &held_for, FUTEX_WAKE, 2);
	}
	return none;
}

INLINE unsigned long lock(unsigned long part)
{
	struct moment start;

	__atomic_store_n(&held_for, part, __ATOMIC_SEQ_CST);
	system_call(SYS_futex, &held_for, FUTEX_WAKE, 1);
	start = now();
	while (__atomic_load_n(&held_for, __ATOMIC_SEQ_CST))
		system_call(SYS_futex, &held_for, FUTEX_WAIT, part);
	return since(start);
}

/* Bytes that are kept; as many are freed. */
INLINE unsigned long keep(unsigned long part)
{
	static void *volatile kept;
	unsigned long bytes = part * 10;

	kept = malloc(bytes);
	free(kept);
	kept = malloc(bytes);
	return kept ? bytes : 0;
}

#define SHAPE(verb, part)                                                                \
	FUNCTION void verb##_seventy(void) { seventy += part(70); }                      \
	FUNCTION void verb##_thirty(void) { thirty += part(30); }                        \
	FUNCTION void verb##_both(void)                                                  \
	{                                                                                \
		verb##_seventy();                                                        \
		verb##_thirty();                                                         \
	}

SHAPE(burn, burn)
SHAPE(sleep, sleep_for)
SHAPE(lock, lock)
SHAPE(keep, keep)

int main(int count, char **words)
{
	const struct {
		const char *verb;
		void (*both)(void);
	} shapes[] = {
		{ "burn", burn_both },
		{ "sleep", sleep_both },
		{ "lock", lock_both },
		{ "keep", keep_both },
	};
	void (*both)(void) = NULL;
	pthread_t holder;
	char gate;
	long rounds;

	if (count != 4)
		return 1;
	pace = atol(words[3]);
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
		if (!strcmp(words[1], shapes[i].verb))
			both = shapes[i].both;
	if (!both || (both == lock_both && pthread_create(&holder, NULL, hold, NULL)))
		return 2;
	puts("{}");
	fflush(stdout);
	if (read(0, &gate, 1) < 0)
		return 3;
	for (rounds = atol(words[2]); rounds > 0; rounds--)
		both();
	printf("{\"seventy\":%lu,\"thirty\":%lu,\"pid\":%d}\n", seventy, thirty, getpid());
	return 0;
}
