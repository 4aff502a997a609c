export function html(strings: TemplateStringsArray, ...values: unknown[]): any;
export function render(node: any, parent: HTMLElement): void;
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((previous: T) => T)) => void];
export function useEffect(effect: () => void | (() => void), inputs?: unknown[]): void;
export function useRef(initial: null): { current: any };
export function useRef<T>(initial: T): { current: T };
