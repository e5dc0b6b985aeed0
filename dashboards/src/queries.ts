/** Every query of a dashboard, for those who check or evaluate them. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'

export interface PanelQuery {
  readonly dashboard: string
  readonly panel: string
  readonly refId: string
  readonly expression: string
}

export function queriesOf(dashboard: Dashboard): readonly PanelQuery[] {
  const found: PanelQuery[] = []
  for (const panel of dashboard.panels ?? []) {
    if (!('targets' in panel)) continue
    for (const target of panel.targets ?? []) {
      const { expr, refId } = target as { expr?: string; refId?: string }
      if (expr === undefined) continue
      found.push({ dashboard: dashboard.title ?? '', panel: panel.title ?? '', refId: refId ?? '', expression: expr })
    }
  }
  return found
}

/** The expressions of the annotations, which are empty where nothing happened. */
export function annotationsOf(dashboard: Dashboard): readonly PanelQuery[] {
  return (dashboard.annotations?.list ?? []).flatMap(({ name, expr }) =>
    expr === undefined ? [] : [{ dashboard: dashboard.title ?? '', panel: name, refId: '', expression: expr }],
  )
}

/** What Grafana would send: variables at "All", and one window for all of its intervals. */
export function substitute(expression: string, window: string): string {
  return expression
    .replace(/\$__(rate_interval|interval|range)\b/g, window)
    .replace(/\$(job|instance|group|node)\b/g, '.+')
}
