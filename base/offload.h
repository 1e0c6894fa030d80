#pragma once

// Work that blocks (a system call on a slow disk) is handed to another thread, so that the thread
// of the jobs goes on. A host implements this with a pool of threads.

#include "base/attempt.h"
#include "base/list.h"

namespace bulkhead {

class Offload
{
public:
	/*
	 * One piece of work. Whoever submitted it keeps it until `done` was called or `withdraw` has
	 * succeeded; it can't be interrupted, and may last for ever.
	 */
	class Work : public Link<Work>
	{
	protected:
		~Work() = default;

	public:
		/* On another thread: may block; touches nothing but what belongs to this piece of work. */
		virtual void run() = 0;

		/* On the thread of the jobs, after `run` has ended. May destroy the work. */
		virtual void done() = 0;
	};

protected:
	~Offload() = default;

public:
	/*
	 * Has the work run; never calls `done` from within. Errors: BUSY (too much work is waiting),
	 * OUT_OF_MEMORY. Does not block.
	 */
	virtual Attempt<void> submit(Work &work) = 0;

	/* Takes back what has not begun; false: it runs or has run, and `done` will come. */
	virtual bool withdraw(Work &work) = 0;
};

} // namespace bulkhead
