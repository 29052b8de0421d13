r"""The synthetic feed: a world whose every label comes from a known probability.

A user u meets an item i of topic k(i) and author a(i) on a surface s at time t. With standard
normal draws A (author), Q (item), C (item), B (user), θ (user × topic), S (surface × topic) that
are made once, the logit of a click is

    x = b
      + user_bias · B_u
      + taste.strength · θ_{u,k}            θ = √ρ · segment's + √(1−ρ) · own, ρ = segment_share
      + context · S_{s,k}
      + author · A_a
      + duration · D_i                      D = standardised −ln(duration)
      + quality · Q_i
      + content.strength · C_i              what the content vector of i shows
      + popularity_drift.strength · √2 · sin 2π(t / period + phase_i)
      + interest.strength · tanh z_{u,k}
      + mood.strength · tanh(m_u / 2)
      − fatigue.strength · f_{u,k}

and each strength is the switch of its term: 0 removes it and changes no other draw. The intercept b
is found by bisection so that the mean click probability is `click_rate`.

State. z (interest), m (mood) and f (fatigue) start at 0. From one request to the next, Δ hours
later, each fades by 2^(−Δ / half_life_h); an infinite half-life means no recency. Then

    z_{u,k} += Σ click + like_gain · like    over the request's items of topic k
    f_{u,k} += their number
    m_u     += Σ (click − click_rate)        over all items of the request

All items of a request see the state before it. So a request's labels are independent of each other
given that state, and the state is a function of the earlier requests alone: a ranker that sees
them has all the information there is about it.

Labels and truth (`truth.<task>`), with p = σ(x) and r = x − logit(click_rate):

    click ~ Bernoulli(p)                                    truth.click = p
    like  ~ click · Bernoulli(l), l = σ(logit(like.rate) + like.slope · r)
                                                            truth.like  = p · l
    dwell = click · w · exp(dwell.noise · ε − dwell.noise² / 2),
            w = duration · σ(logit(dwell.completion) + dwell.slope · r)
                                                            truth.dwell = p · w   (seconds)

What is exogenous. Users come in sessions (log-normal minutes inside, hours to days between) as
often as their log-normal activity says. A request shows a random number of items among those
already born, whatever the user did; share `new_items` of the catalogue is born evenly over the
days. Content vectors are topic image + C · direction + noise.

Draws. Every effect has a random stream of its own per block of 4,096 users, so worlds that differ
in one effect are comparable draw by draw. Only the block being drawn needs working memory.

Modules: `config` parameters, `streams` random streams, `world` what stands, `plan` who comes when
and is shown what, `dynamics` state and formulas, `feed` playing it, `tables` the result as frames.
"""
