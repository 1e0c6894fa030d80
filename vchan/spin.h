#pragma once

// How often it is worth looking again before one sleeps. Where both sides run at the same time an
// answer comes sooner than a wake-up; where they share a processor, or the peer is idle, each look
// is wasted. Nobody says which it is, so this learns it from what looking was good for.

#include "base/attempt.h"
#include "base/pause.h"
#include "vchan/error.h"

#include <algorithm>

namespace bulkhead::vchan {

class Spin
{
public:
	/* Looks before one sleep: more than a sleeping peer needs to wake up on another processor. */
	static constexpr unsigned MOST = 4096;
	/* At first: hardly any time, for the sake of channels that have little to say. */
	static constexpr unsigned FIRST = 64;
	/* Of a try whether looking for long has become worth it: about as long as two wake-ups. */
	static constexpr unsigned TRIAL = MOST / 2;

private:
	static constexpr unsigned LEAST = 16; // fewer aren't worth a try
	static constexpr unsigned REST_LEAST = 128;
	static constexpr unsigned REST_MOST = 4096;

	unsigned _looks = FIRST; // 0: rests; a few looks already take as long as a system call
	bool _trying = false;
	unsigned _rest = 0; // waits until we try again whether looking for long has become worth it
	unsigned _next_rest = REST_LEAST;

	unsigned _begin()
	{
		// Two sides that both give up too early never find out that they needn't sleep. So one
		// tries now and then, more and more seldom, so that its cost vanishes where it is in vain.
		if (_looks == 0 && --_rest == 0) {
			_looks = TRIAL;
			_trying = true;
		}
		return _looks;
	}

	void _found()
	{
		_trying = false;
		_looks = std::min(2 * _looks, MOST);
		_next_rest = REST_LEAST;
	}

	void _in_vain()
	{
		_looks = _trying || _looks == LEAST ? 0 : std::max(_looks / 2, LEAST);
		_trying = false;
		if (_looks) return;
		_rest = _next_rest;
		_next_rest = std::min(2 * _next_rest, REST_MOST);
	}

public:
	/*
	 * Calls `look`, which returns an Attempt<T, Error>, until it says something else than
	 * WOULD_BLOCK, but at most `most` times and not more often than has been worth it. Returns what
	 * it said last; WOULD_BLOCK, so sleep, if it wasn't called at all.
	 */
	template <typename LOOK>
	auto look_again(unsigned most, LOOK look) -> decltype(look())
	{
		if (most == 0) return Error::WOULD_BLOCK;
		unsigned const budget = std::min(most, _begin());
		for (unsigned looks = 0; looks < budget; ++looks) {
			spin_pause();
			auto result = look();
			if (!result.ok() && result.error() == Error::WOULD_BLOCK) continue;
			_found();
			return result;
		}
		if (budget) _in_vain();
		return Error::WOULD_BLOCK;
	}
};

} // namespace bulkhead::vchan
